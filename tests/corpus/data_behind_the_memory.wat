;; has data that belong behind the end of its memory
(data (i32.const 1000000) "x")
