;; exports nothing
(component {types} {core} {lift})
