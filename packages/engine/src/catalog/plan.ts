// Decides whether a model fits this box, whole or smaller, before anything is loaded. Pure: (model facts, hardware snapshot, wishes) -> plan.
import type { GpuSnapshot, HardwareSnapshot, MemoryPlan } from '@hearth/protocol'
import { budgetOf, mainGpu, pagesLimitFor, smallCarveOutBytes, totalWithoutCarveOut, type Budget } from '../hardware/budget.ts'
import { checkpointsPerSequence } from '../local/wire.ts'
import type { ModelShape } from './gguf-shape.ts'

export type ModelFacts = {
  id: string
  /** Tensors of all files of the model. */
  tensorBytes: number
  repackedBytes: number
  shape: ModelShape | null
}

/** A model with its draft beside it: both weights, and for each token and sequence both caches. They compute in turn, so the larger buffers count. */
export function withDraft(facts: ModelFacts, draft: ModelFacts): ModelFacts {
  const [a, b] = [facts.shape, draft.shape]
  const shape = a === null || b === null ? null : {
    ...a, tokenBytes: a.tokenBytes + b.tokenBytes, windowTokenBytes: a.windowTokenBytes + b.windowTokenBytes, stateBytes: a.stateBytes + b.stateBytes,
    windowTokens: a.windowTokens === null && b.windowTokens === null ? null : Math.max(a.windowTokens ?? 0, b.windowTokens ?? 0),
  }
  return { id: facts.id, tensorBytes: facts.tensorBytes + draft.tensorBytes, repackedBytes: facts.repackedBytes + draft.repackedBytes, shape }
}

export type PlanWishes = {
  on: 'cpu' | 'gpu'
  contextTokens: number
  sequences: number
  batchTokens: number
  /** Memory that saved conversations may take. */
  savedStateBytes: number
  /** What this load may take, when the places of other models are counted; default: what is free. */
  freeBytes?: number
}

type Part = MemoryPlan['parts'][number]
type Size = { contextTokens: number; sequences: number }

/** llama.cpp rounds the cells of a sequence up to this many. */
const cellGrain = 256
// Less than this is no window for an agent: sequences are given up before it.
const leastContextTokens = 4096
// The worker without a model's bytes: Node, the library, tokenizer tables for each token of the vocabulary (measured, docs/hardware.md).
const programBytes = 64 * 2 ** 20
const tokenTableBytes = 450

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`
const padded = (tokens: number): number => Math.ceil(tokens / cellGrain) * cellGrain

/** Bytes of each part for one size. Cache and state by llama.cpp's own rules; compute buffers from the tensors that live at once in its graph. */
export function partsOf(facts: ModelFacts & { shape: ModelShape }, size: Size, wishes: Pick<PlanWishes, 'batchTokens' | 'savedStateBytes'>): Part[] {
  const { shape } = facts
  const cells = padded(size.contextTokens)
  const windowCells = shape.windowTokens === null ? 0 : padded(Math.min(cells, shape.windowTokens + wishes.batchTokens))
  // Attention masks (F32 and F16) of one batch, two feed-forward rows, three rows of the residual stream; logits of one token a sequence.
  const compute = wishes.batchTokens * (6 * (cells + windowCells) + 8 * shape.feedForward + 12 * shape.embedding) + 8 * shape.vocabulary * size.sequences
  return [
    { name: 'weights', bytes: facts.tensorBytes },
    { name: 'cache', bytes: Math.ceil(size.sequences * (cells * shape.tokenBytes + windowCells * shape.windowTokenBytes)) },
    { name: 'state', bytes: Math.ceil(size.sequences * shape.stateBytes) },
    { name: 'checkpoints', bytes: Math.ceil(size.sequences * checkpointsPerSequence * (shape.stateBytes + windowCells * shape.windowTokenBytes)) },
    { name: 'compute', bytes: Math.ceil(compute) },
    { name: 'saved', bytes: wishes.savedStateBytes },
    { name: 'program', bytes: programBytes + tokenTableBytes * shape.vocabulary },
  ]
}

const sum = (parts: readonly Part[]): number => parts.reduce((total, part) => total + part.bytes, 0)

/** Bytes as wished, and of the smallest load that is any use (what `plan` shrinks to). `certain`: false = the file or the box does not tell enough. */
export function needOf(facts: ModelFacts, snapshot: HardwareSnapshot, wishes: PlanWishes): { fullBytes: number; leastBytes: number; certain: boolean } {
  const budget = budgetOf(snapshot, wishes.on)
  const { shape } = facts
  if (budget === null || shape === null) return { fullBytes: facts.tensorBytes, leastBytes: facts.tensorBytes, certain: false }
  const counted = countedIn(budget, wishes)
  const at = (size: Size): number => sum(partsOf({ ...facts, shape }, size, counted))
  return { fullBytes: at(wishes), leastBytes: at(leastOf(wishes)), certain: true }
}

/** Saved conversations lie in system memory, so they cost a carve-out nothing. */
function countedIn(budget: Budget, wishes: PlanWishes): PlanWishes {
  return budget.place === 'vram' ? { ...wishes, savedStateBytes: 0 } : wishes
}

function leastOf({ contextTokens }: Size): Size {
  return { contextTokens: Math.min(contextTokens, leastContextTokens), sequences: 1 }
}

/** The plan of one model. Shrinks the context first (to 4,096 at least), then the sequences; says what it shrank. */
export function plan(facts: ModelFacts, snapshot: HardwareSnapshot, wishes: PlanWishes): MemoryPlan {
  const found = budgetOf(snapshot, wishes.on)
  const budget = found === null || wishes.freeBytes === undefined ? found : { ...found, freeBytes: Math.min(found.limitBytes, wishes.freeBytes) }
  const wished: Size = { contextTokens: wishes.contextTokens, sequences: wishes.sequences }
  const base = {
    model: facts.id, place: budget?.place ?? null, totalBytes: budget?.totalBytes ?? null, limitBytes: budget?.limitBytes ?? null, freeBytes: budget?.freeBytes ?? null,
    mappedBytes: wishes.on === 'cpu' ? facts.repackedBytes : 0, wishedContextTokens: wished.contextTokens, wishedSequences: wished.sequences,
  }
  const { shape } = facts
  if (budget === null || shape === null) {
    const parts: Part[] = [{ name: 'weights', bytes: facts.tensorBytes }]
    const why = shape === null ? 'its file does not tell what its cache takes' : `the memory of ${wishes.on === 'cpu' ? 'this box' : 'the GPU'} is not known`
    return { ...base, ...wished, verdict: 'unknown', parts, neededBytes: facts.tensorBytes, said: `${facts.id} has ${gib(facts.tensorBytes)} of weights; ${why}.`, remedy: null }
  }
  const known = { ...facts, shape }
  const counted = countedIn(budget, wishes)
  const at = (size: Size): Part[] => partsOf(known, size, counted)
  const fits = (size: Size): boolean => sum(at(size)) <= budget.freeBytes
  const answer = (verdict: MemoryPlan['verdict'], size: Size, said: string, remedy: string | null): MemoryPlan => {
    const parts = at(size).filter((part) => part.bytes > 0)
    return { ...base, ...size, verdict, parts, neededBytes: sum(parts), said, remedy }
  }
  const where = `${placeName[budget.place]} (${gib(budget.freeBytes)} of ${gib(budget.limitBytes)} free)`
  if (fits(wished)) return answer('fits', wished, `${facts.id} needs ${gib(sum(at(wished)))} with ${sizeText(wished)}; it fits into ${where}.`, null)

  const remedy = remedyOf(snapshot, budget)
  const smaller = shrunk(wished, fits)
  if (smaller !== null) {
    const said = `${facts.id} would need ${gib(sum(at(wished)))} with ${sizeText(wished)}; it fits into ${where} with ${sizeText(smaller)} (${gib(sum(at(smaller)))}).`
    return answer('smaller', smaller, said, remedy)
  }
  const least = leastOf(wished)
  const said = `${facts.id} needs at least ${gib(sum(at(least)))} (${sizeText(least)}), and ${placeName[budget.place]} can give ${gib(budget.freeBytes)} of ${gib(budget.totalBytes)}.`
  return answer('refused', least, said, remedy)
}

const placeName = { ram: 'memory', gtt: 'GTT', vram: 'VRAM' } as const

function sizeText({ contextTokens, sequences }: Size): string {
  return `${sequences} x ${contextTokens} tokens`
}

/** The most sequences that fit with the least context, then the largest context for them. */
function shrunk(wished: Size, fits: (size: Size) => boolean): Size | null {
  const floor = Math.min(wished.contextTokens, leastContextTokens)
  for (let sequences = wished.sequences; sequences >= 1; sequences--) {
    if (!fits({ contextTokens: floor, sequences })) continue
    let [low, high] = [Math.floor(floor / cellGrain), Math.floor(wished.contextTokens / cellGrain)]
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if (fits({ contextTokens: middle * cellGrain, sequences })) low = middle
      else high = middle - 1
    }
    return { contextTokens: Math.max(floor, low * cellGrain), sequences }
  }
  return null
}

/** What would give more: a larger GTT, a smaller carve-out, or what uses the memory now. */
function remedyOf(snapshot: HardwareSnapshot, budget: Budget): string {
  const gpu = mainGpu(snapshot)
  const more = budget.place === 'ram' || gpu === null ? null : largerLimit(snapshot, gpu, budget)
  const free = budget.limitBytes - budget.freeBytes > budget.limitBytes / 8 ? `, or end what uses ${gib(budget.limitBytes - budget.freeBytes)} of it now` : ''
  if (more !== null) return `You can use ${gib(budget.limitBytes)} of ${gib(more.ofBytes)}; ${more.how}${free}.`
  return `You can use ${gib(budget.limitBytes)} of ${gib(budget.totalBytes)}; take a smaller model or quantization, a smaller engine.contextTokens or fewer engine.sequences${free}.`
}

function largerLimit(snapshot: HardwareSnapshot, gpu: GpuSnapshot, budget: Budget): { ofBytes: number; how: string } | null {
  const total = gpu.integrated === true ? totalWithoutCarveOut(snapshot.memory, gpu) : null
  if (total === null) return null
  const best = pagesLimitFor(total)
  if (best.gib * 2 ** 30 <= budget.limitBytes * 1.05) return null
  const ofBytes = snapshot.memory.installedBytes ?? total
  const carved = (gpu.vramTotalBytes ?? 0) > smallCarveOutBytes ? 'set the UMA frame buffer to 512 MB in the BIOS and ' : ''
  return { ofBytes, how: `${carved}boot with ttm.pages_limit=${best.pages} (${best.gib} GiB)` }
}
