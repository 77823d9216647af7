;; fails in a way that the contract doesn't have
(data (i32.const 1024) "\01\00\00\00\00\00\00\00\03")
