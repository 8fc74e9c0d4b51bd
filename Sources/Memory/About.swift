// The budget: what memory is for, term by term, before any of it is taken.
// Terms are named as `sluice show` prints them.
// Nothing that takes memory or decides how to divide it may enter.
