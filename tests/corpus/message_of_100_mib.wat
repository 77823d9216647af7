;; fails with a message of 100 MiB
(memory (export "memory") 1700)
(data (i32.const 1024) "\01\00\00\00\00\00\00\00\00\00\00\00\00\00\10\00\00\00\40\06")
