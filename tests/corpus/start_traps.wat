;; traps in its start function
(func $s unreachable) (start $s)
