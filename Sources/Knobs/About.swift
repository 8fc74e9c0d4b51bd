// What users can turn: the profile, its keys, ranges, defaults, and the choices they name.
// A knob is read, checked and documented here.
// Nothing that acts on a knob may enter.
