// Owns the words of the box profile: what was measured of each model on this box, what was chosen from it and why. Figures only; decides nothing.
import { z } from 'zod'
import type { Fault } from './fault.ts'

export const adapters = ['built-in', 'llama-server'] as const
export type Adapter = (typeof adapters)[number]

/** Comparisons: rows of one run were taken in turns and may be compared with each other. */
export const tuneRuns = ['threads', 'threads-fine', 'pieces', 'streams', 'depth', 'speculation'] as const
export type TuneRun = (typeof tuneRuns)[number]

export const SpeedSpread = z.strictObject({ min: z.number().nonnegative(), median: z.number().nonnegative(), max: z.number().nonnegative() })
export type SpeedSpread = z.infer<typeof SpeedSpread>

/** One row of what was measured: these settings, so many streams, so deep a context. */
export const MeasuredPoint = z.strictObject({
  run: z.enum(tuneRuns).describe('the comparison it was taken for; its rows were taken in turns'),
  adapter: z.enum(adapters).describe('who computed: the library of Hearth, or the llama-server of the configuration'),
  threads: z.int().min(1),
  batchTokens: z.int().min(1).describe('tokens in one evaluation at most'),
  pieceTokens: z.int().min(1).describe('prompt tokens handed over at once'),
  speculation: z.enum(['off', 'lookup']),
  text: z.enum(['story', 'copy']).describe('copy: the answer repeats the prompt, which is what guessing ahead lives on'),
  streams: z.int().min(1).describe('answers written at the same time'),
  depthTokens: z.int().min(0).describe('length of the prompt as it was wished'),
  promptTokens: z.int().min(0).describe('its length as the model counted it'),
  samples: z.int().min(1),
  prefillTokensPerSecond: SpeedSpread.nullable().describe('reading all of that prompt, one stream; null = not measured'),
  decodeTokensPerSecond: SpeedSpread.nullable().describe('writing behind it, all streams together; null = not measured'),
})
export type MeasuredPoint = z.infer<typeof MeasuredPoint>

const why = z.string().describe('the figures that decided, in one sentence')

export const ModelProfile = z.strictObject({
  model: z.string(),
  file: z.string().describe('what tells this file from another: a hash of lengths, inodes and times of change'),
  library: z.string().describe('name, version and build of what computed'),
  backend: z.string().describe('as asked for: auto, cpu, vulkan'),
  machine: z.string().describe('CPU, number of threads, and for a GPU its driver: figures of another machine say nothing'),
  measuredAt: z.int().describe('milliseconds since 1970'),
  seconds: z.number().min(0).describe('how long the measuring took'),
  effort: z.enum(['quick', 'normal', 'full']),
  cpu: z.string().nullable(),
  kernel: z.string().nullable(),
  activeBytes: z.int().positive().nullable().describe('bytes of weights that one token reads; null = the file does not tell'),
  points: z.array(MeasuredPoint),
  skipped: z.array(z.strictObject({ what: z.string(), why: z.string() })).describe('what was not measured'),
  choices: z.strictObject({
    threads: z.strictObject({ value: z.int().min(1), why }).nullable().describe('null = not measured: the default stays'),
    batch: z.strictObject({ batchTokens: z.int().min(1), pieceTokens: z.int().min(1), why }).nullable(),
    activeDecodes: z.strictObject({ value: z.int().min(1), why }).nullable().describe('the knee: more answers at the same time gain nothing'),
    speculation: z.strictObject({ value: z.enum(['off', 'lookup']), why }).nullable(),
    adapter: z.strictObject({ aboveStreams: z.int().min(0).nullable().describe('llama-server is faster with more streams than this; null = never'), why }).nullable(),
  }),
})
export type ModelProfile = z.infer<typeof ModelProfile>

export const BoxProfile = z.strictObject({
  version: z.literal(1),
  models: z.array(ModelProfile),
})
export type BoxProfile = z.infer<typeof BoxProfile>

export const efforts = ['quick', 'normal', 'full'] as const
export type Effort = (typeof efforts)[number]

export const TuneRequest = z.strictObject({
  models: z.array(z.string().min(1)).max(100).default([]).describe('ids; none = the default model'),
  effort: z.enum(efforts).default('normal'),
  minutes: z.number().positive().max(24 * 60).nullable().default(null).describe('time for each model; null = 2 (quick), 10 or 45 (full)'),
  wait: z.boolean().default(false).describe('wait until no job and no request runs, instead of being refused'),
})
export type TuneRequest = z.infer<typeof TuneRequest>
export type TuneRequestInput = z.input<typeof TuneRequest>

/** One line of the stream of a tune. Ends with exactly one `done` or `failed`; after `failed` the stored profile is as it was. */
export type TuneEvent =
  | { type: 'waiting'; text: string }
  | { type: 'model'; model: string; seconds: number }
  /** What is being measured now. */
  | { type: 'step'; model: string; text: string; spentMs: number; leftMs: number }
  | { type: 'sample'; model: string; text: string; prefillTokensPerSecond: number | null; decodeTokensPerSecond: number | null }
  | { type: 'skipped'; model: string; what: string; why: string }
  | { type: 'measured'; model: string; profile: ModelProfile; forecasts: { promptTokens: number; ms: number }[] }
  | { type: 'done'; models: string[] }
  | { type: 'failed'; fault: Fault }

/** Answer of GET /api/tune: what is stored. `current`: it is of this file, this build and this machine, so it is used. */
export const ProfileReply = z.strictObject({
  models: z.array(z.strictObject({
    profile: ModelProfile,
    current: z.boolean(),
    forecasts: z.array(z.strictObject({ promptTokens: z.int(), ms: z.number() })).describe('time to the first token of a prompt of so many tokens, nothing reused'),
  })),
})
export type ProfileReply = z.infer<typeof ProfileReply>

/** What a model does on this box. `estimated`: scaled from another model by the bytes that a token reads. */
export const PredictedSpeed = z.strictObject({
  estimated: z.boolean(),
  decodeTokensPerSecond: z.number().positive().describe('one stream, a short context'),
  ttftMs: z.number().positive().nullable().describe('time to the first token of a prompt of 2,048 tokens; null = not known'),
})
export type PredictedSpeed = z.infer<typeof PredictedSpeed>
