;; exports the contract's next minor version
(component {types} {core} {lift} (export "tasq:handler/handler@0.2.0" (instance $handler)))
