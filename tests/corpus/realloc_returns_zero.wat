;; gives address 0 where the host asks for room, which is an address like another
(func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
