;; passes the character D800 between two components of its own
(component {types} {core} {lift}
  (component $takes
    (core module $n (func (export "f") (param i32) (result i32) (local.get 0)))
    (core instance $n (instantiate $n))
    (func (export "f") (param "it" char) (result u32) (canon lift (core func $n "f"))))
  (component $gives
    (import "f" (func $f (param "it" char) (result u32)))
    (core func $f (canon lower (func $f)))
    (core instance $there (export "f" (func $f)))
    (core module $n
      (import "there" "f" (func $f (param i32) (result i32)))
      (func $s (if (i32.ne (call $f (i32.const 55296)) (i32.const 55296)) (then unreachable)))
      (start $s))
    (core instance (instantiate $n (with "there" (instance $there)))))
  (instance $takes (instantiate $takes))
  (instance (instantiate $gives (with "f" (func $takes "f"))))
  {export})
