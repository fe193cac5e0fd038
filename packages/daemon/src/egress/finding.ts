// Owns the shape of what every rule and scan finds: a place in a text (UTF-16 offsets) and what kind of secret stands there.

export type Finding = { kind: string; start: number; end: number }
