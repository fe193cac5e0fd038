// Owns the shape of a command and the table of all of them. Loads none of them: each is imported when it is asked for.
import type { Args, Spec } from './args.ts'
import type { Context } from './context.ts'

export type Command = {
  spec: Spec
  /** Does the work; resolves to the exit code, throws FaultError. */
  run(ctx: Context, args: Args): Promise<number>
}

type Entry = { summary: string; load: () => Promise<Command> }

/** Name -> one line for the overview, and where the command is. The order is the order of the overview. */
export const commands: Readonly<Record<string, Entry>> = {
  run: { summary: 'give a job to a model and watch it', load: async () => (await import('./commands/run.ts')).run },
  chat: { summary: 'talk with a model that works in this folder', load: async () => (await import('./commands/chat.ts')).chat },
  ps: { summary: 'list running and queued jobs', load: async () => (await import('./commands/ps.ts')).ps },
  show: { summary: 'one job on one page', load: async () => (await import('./commands/show.ts')).show },
  why: { summary: 'why a job went as it did: guards, escalations, prices, effects', load: async () => (await import('./commands/why.ts')).why },
  logs: { summary: 'the events of a job as text', load: async () => (await import('./commands/logs.ts')).logs },
  attach: { summary: 'watch a running job; ends with its exit code', load: async () => (await import('./commands/logs.ts')).attach },
  diff: { summary: 'what a job changed, as a patch', load: async () => (await import('./commands/diff.ts')).diff },
  undo: { summary: 'put a folder back to the state before a job or after a step', load: async () => (await import('./commands/undo.ts')).undo },
  approve: { summary: 'answer a job that asks before it changes something', load: async () => (await import('./commands/approve.ts')).approve },
  resume: { summary: 'let a job go on that waits for money', load: async () => (await import('./commands/resume.ts')).resume },
  cancel: { summary: 'stop a job', load: async () => (await import('./commands/cancel.ts')).cancel },
  'models ls': { summary: 'list known and installed models', load: async () => (await import('./commands/models.ts')).ls },
  'models show': { summary: 'all that is known of one model', load: async () => (await import('./commands/models-show.ts')).show },
  'models pull': { summary: 'fetch a model of the catalogue or of a hub', load: async () => (await import('./commands/models.ts')).pull },
  'models import': { summary: 'use GGUF files that are already here', load: async () => (await import('./commands/models.ts')).importFile },
  'models rm': { summary: 'remove an installed model', load: async () => (await import('./commands/models.ts')).rm },
  'models verify': { summary: 'compare an installed model with its sha256', load: async () => (await import('./commands/models.ts')).verify },
  'models plan': { summary: 'what loading a model would take, and whether it fits', load: async () => (await import('./commands/plan.ts')).plan },
  'models load': { summary: 'load a model into memory', load: async () => (await import('./commands/loaded.ts')).load },
  'models unload': { summary: 'give the memory of a model back', load: async () => (await import('./commands/loaded.ts')).unload },
  'models pin': { summary: 'keep a model in memory', load: async () => (await import('./commands/loaded.ts')).pin },
  'models unpin': { summary: 'let a model be unloaded again', load: async () => (await import('./commands/loaded.ts')).unpin },
  'models probe': { summary: 'measure how a model calls tools, and how to speak with it', load: async () => (await import('./commands/probe.ts')).probe },
  'models prune': { summary: 'free what lies in the models folder for nothing', load: async () => (await import('./commands/models.ts')).prune },
  'models reset': { summary: 'let an engine start again that failed too often', load: async () => (await import('./commands/models.ts')).reset },
  'engine build': { summary: 'build llama.cpp for this box', load: async () => (await import('./commands/engine.ts')).build },
  'engine ls': { summary: 'list the engines built here', load: async () => (await import('./commands/engine.ts')).ls },
  'engine rm': { summary: 'remove one of them', load: async () => (await import('./commands/engine.ts')).rm },
  'mcp show': { summary: 'look at the MCP servers of this box and of a folder', load: async () => (await import('./commands/mcp.ts')).show },
  'mcp approve': { summary: 'let jobs use the MCP servers of a folder', load: async () => (await import('./commands/mcp.ts')).approve },
  'mcp revoke': { summary: 'approve nothing of a folder any more', load: async () => (await import('./commands/mcp.ts')).revoke },
  'mcp login': { summary: 'log in at an MCP server', load: async () => (await import('./commands/mcp.ts')).login },
  'mcp logout': { summary: 'forget a login at an MCP server', load: async () => (await import('./commands/mcp.ts')).logout },
  'keys add': { summary: 'make a key for programs that speak HTTP', load: async () => (await import('./commands/keys.ts')).add },
  'keys ls': { summary: 'list the keys', load: async () => (await import('./commands/keys.ts')).ls },
  'keys revoke': { summary: 'end a key and what it has open', load: async () => (await import('./commands/keys.ts')).revoke },
  'project add': { summary: 'give a folder rules of its own for what may leave the house', load: async () => (await import('./commands/project.ts')).add },
  'project ls': { summary: 'list them, and what holds', load: async () => (await import('./commands/project.ts')).ls },
  'project set': { summary: 'change the rules of one', load: async () => (await import('./commands/project.ts')).set },
  'project rm': { summary: 'forget the rules of one', load: async () => (await import('./commands/project.ts')).rm },
  eval: { summary: 'compare models and kinds of help on tasks with hidden checks', load: async () => (await import('./commands/eval.ts')).evaluate },
  tune: { summary: 'measure this box and choose by the figures', load: async () => (await import('./commands/tune.ts')).tune },
  budget: { summary: 'what is left of every limit and package', load: async () => (await import('./commands/budget.ts')).budget },
  usage: { summary: 'tokens, energy and money, and what they bought', load: async () => (await import('./commands/usage.ts')).usage },
  egress: { summary: 'what left the box, and to whom', load: async () => (await import('./commands/egress.ts')).egress },
  up: { summary: 'start the daemon', load: async () => (await import('./commands/up.ts')).up },
  down: { summary: 'stop the daemon', load: async () => (await import('./commands/down.ts')).down },
  status: { summary: 'what the daemon is doing', load: async () => (await import('./commands/status.ts')).status },
  doctor: { summary: 'check this box and say what to repair', load: async () => (await import('./commands/doctor.ts')).doctor },
  version: { summary: 'versions of the command, Node and the daemon', load: async () => (await import('./commands/version.ts')).version },
  help: { summary: 'the commands, or one of them', load: async () => (await import('./commands/help.ts')).help },
}
