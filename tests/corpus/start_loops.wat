;; loops in its start function
(func $s (loop (br 0))) (start $s)
