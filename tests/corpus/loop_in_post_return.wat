;; loops after it has returned its result
(func (export "post") (param i32) (loop (br 0)))
