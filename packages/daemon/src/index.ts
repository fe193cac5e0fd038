// What a program that starts a daemon needs, and the lists that docs and tests are checked against.
export { routes } from './http/app.ts'
export type { Parts, RunAgent, Shelf } from './parts.ts'
export { serve, type Daemon, type ServeOptions } from './serve.ts'
export { readConfig } from './settings.ts'
