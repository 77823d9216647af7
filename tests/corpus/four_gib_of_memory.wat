;; begins with 4 GiB of memory
(memory (export "memory") 65536)
