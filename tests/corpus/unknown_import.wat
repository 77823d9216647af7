;; imports an interface that no handler gets
(component (import "acme:db/query@1.0.0" (instance)) {types} {core} {lift} {export})
