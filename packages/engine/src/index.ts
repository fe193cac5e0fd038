// The engine package: where tokens come from.
export { BuildStore, type BuildStoreOptions } from './build/store.ts'
export { ModelStore, type ModelStoreOptions } from './catalog/catalog.ts'
export { readGguf, type GgufHeader, type GgufResult } from './catalog/gguf.ts'
export { loadScript, scriptedModel } from './scripted/model.ts'
export { Script, type ScriptInput } from './scripted/script.ts'
export * from './engine.ts'
export type { InstalledModel } from './installed.ts'
export { CompatibleModel, type CompatibleOptions } from './remote/compatible.ts'
