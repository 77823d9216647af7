;; fails with a message that isn't UTF-8
(data (i32.const 1024) "\01\00\00\00\00\00\00\00\00\00\00\00\00\08\00\00\02\00\00\00")
(data (i32.const 2048) "\ff\fe")
