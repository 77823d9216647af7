;; fails, and wants to run again in 584 million years
(data (i32.const 1024) "\01")
(data (i32.const 1056) "\ff\ff\ff\ff\ff\ff\ff\ff")
