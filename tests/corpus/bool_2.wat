;; passes the boolean 2 between two components of its own, where it arrives as true
(component {types} {core} {lift}
  (component $takes
    (core module $n (func (export "f") (param i32) (result i32) (local.get 0)))
    (core instance $n (instantiate $n))
    (func (export "f") (param "it" bool) (result u32) (canon lift (core func $n "f"))))
  (component $gives
    (import "f" (func $f (param "it" bool) (result u32)))
    (core func $f (canon lower (func $f)))
    (core instance $there (export "f" (func $f)))
    (core module $n
      (import "there" "f" (func $f (param i32) (result i32)))
      (func $s (if (i32.ne (call $f (i32.const 2)) (i32.const 1)) (then unreachable)))
      (start $s))
    (core instance (instantiate $n (with "there" (instance $there)))))
  (instance $takes (instantiate $takes))
  (instance (instantiate $gives (with "f" (func $takes "f"))))
  {export})
