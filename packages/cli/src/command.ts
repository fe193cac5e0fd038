// Owns the shape of a command and of the list of all of them. Knows none of them.
import type { Args, Spec } from './args.ts'
import type { Context } from './context.ts'

export type Command = {
  spec: Spec
  /** Does the work; resolves to the exit code, throws FaultError. */
  run(ctx: Context, args: Args): Promise<number>
}

/** By name: one line for the overview, and where the command is. The order is the order of the overview. */
export type Commands = Readonly<Record<string, { summary: string; load: () => Promise<Command> }>>
