;; exports a `handle` that takes no task
(component {types}
  (core module $m (memory (export "memory") 2)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
    (func (export "handle") (param i32 i32) (result i32) (i32.const 0)))
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (alias core export $i "realloc" (core func $realloc))
  (alias core export $i "handle" (core func $core))
  (func $handle (param "payload" (list u8)) (result (list u8))
    (canon lift (core func $core) (memory (core memory $memory)) (realloc (core func $realloc))))
  (instance $handler (export "handle" (func $handle)))
  {export})
