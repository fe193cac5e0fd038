import { store } from './disk.js'

export const saveAll = (files) => files.map(({ name, bytes }) => store(name, bytes))
