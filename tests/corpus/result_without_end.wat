;; returns a result of FFFFFFFF bytes
(data (i32.const 1032) "\00\08\00\00\ff\ff\ff\ff")
