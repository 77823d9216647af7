;; returns neither success nor failure
(data (i32.const 1024) "\02")
