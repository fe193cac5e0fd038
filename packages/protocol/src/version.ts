// Owns the version of Hearth and of its wire. A client refuses a daemon of another wire version.
export const version = '0.1.0'
export const wireVersion = 1
