;; has a name with escapes, which the host can't find and tells about
(component {types} {core} {lift} (alias core export $i "\1b[2J\r\nforged" (core func)) {export})
