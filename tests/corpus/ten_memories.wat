;; has ten memories, as many as there are places for
(component (core module $n (memory 1))
  (core instance (instantiate $n)) (core instance (instantiate $n)) (core instance (instantiate $n))
  (core instance (instantiate $n)) (core instance (instantiate $n)) (core instance (instantiate $n))
  (core instance (instantiate $n)) (core instance (instantiate $n)) (core instance (instantiate $n))
  {types} {core} {lift} {export})
