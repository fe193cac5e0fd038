import { store as keep } from './disk.js'

export function push(file) {
  keep(file.name, file.bytes)
}
