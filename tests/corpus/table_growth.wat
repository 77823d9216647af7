;; grows a table until it is refused, and lives on
(table $t 1 funcref)
(func (export "handle") (param i32) (result i32)
  (loop (br_if 0 (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1))))
  (i32.const 1024))
