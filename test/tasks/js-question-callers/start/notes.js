import { store } from './disk.js'
// store(name, bytes) was called here once.
export const help = 'call store(name, bytes)'
export const kind = typeof store
