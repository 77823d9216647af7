module tasq.local/handler

go 1.24
