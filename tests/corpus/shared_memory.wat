;; has a memory that threads could share
(memory $other 1 1 shared)
