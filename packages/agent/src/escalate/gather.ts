// Owns what is read of a job for one packet: events, the kept states, pieces of files, the conversation. Reads through the sandbox; sends nothing.
import type { EscalationMode, EscalationSettings, JobEventBody, Packet, PacketSlice, Signal } from '@hearth/protocol'
import { checksOf } from '../checks.ts'
import type { Run } from '../run.ts'
import { bytesPerPacketToken, failingOutput, packetOf } from './packet.ts'
import { inFolder, pathsIn, placesIn, type Place } from './places.ts'
import { askedNow } from './signals.ts'
import { readSlices, readTree, type Reading } from './slices.ts'
import { questionOf } from './words.ts'

const filesAtMost = 6
// What says most about a folder, besides what the goal names.
const telling = ['README.md', 'README', 'package.json', 'pyproject.toml', 'Cargo.toml', 'go.mod', 'Makefile']

export const defaultSettings: EscalationSettings = { modes: ['advise'], planFirst: false, packet: 'packet', packetTokens: 8192, stepTurns: 6, medianSeconds: null }

export function settingsOf(run: Run): EscalationSettings {
  return run.input.escalation ?? defaultSettings
}

/** The packet for this question at this moment. `answer`: the words of a model that says it is done. */
export async function gather(run: Run, mode: EscalationMode, signals: readonly Signal[], answer: string | null): Promise<Packet> {
  const { history, input, ports } = run
  const { packet: form, packetTokens } = settingsOf(run)
  const reading: Reading = { sandbox: ports.sandbox, workspace: input.request.cwd, limits: input.limits, signal: run.patient }
  const asked = signals.some(({ kind }) => kind === 'declared') ? askedNow(history.events) : null
  const tree = mode === 'plan' && form !== 'full' ? await readTree(reading) : []
  const places = form === 'packet' ? placesFor(run, mode, tree, asked?.files ?? []) : []
  const mayShow = (path: string): boolean => (ports.expert?.withholds?.(path) ?? null) === null
  const slices: PacketSlice[] = await readSlices(places.filter(({ path }) => mayShow(path)), reading, mayShow)
  const changed = mode === 'plan' || form === 'full' ? null : await ports.workspace?.diff?.(packetTokens * bytesPerPacketToken) ?? null
  const diff = changed?.filter(({ path }) => mayShow(path)) ?? null
  const added = checksOf(input.request, history.events).slice(input.request.checks.length)
  const packet = packetOf({
    form, mode, request: input.request, addedChecks: added, events: tellable(history.events, mayShow), diff, slices, tree, messages: history.messages,
    question: questionOf(mode, signals, asked, answer), limitTokens: packetTokens,
  })
  // A whole transcript is told as it is, so it says what is in it and may be refused for it.
  return form === 'full' ? packet : { ...packet, files: packet.files.filter(mayShow) }
}

const leftOut = '(left out: it names a file that does not leave this box)'

/** The events without what was said of files that may not be shown: the name of one in a command or its output is reason enough. */
function tellable(events: readonly JobEventBody[], mayShow: (path: string) => boolean): readonly JobEventBody[] {
  const commands = new Map<string, string>()
  return events.map((event) => {
    if (event.type === 'tool_planned') commands.set(event.call.id, JSON.stringify(event.call.arguments))
    if (event.type === 'tool_result') return pathsIn(`${commands.get(event.callId) ?? ''}\n${event.observation}`).every(mayShow) ? event : { ...event, observation: leftOut }
    if (event.type === 'check') return pathsIn(`${event.command}\n${event.output}`).every(mayShow) ? event : { ...event, output: leftOut }
    return event
  })
}

/** What an expert should see of the files: what the failure names, what the model names, for a plan what the goal names and what says most about a folder. */
function placesFor(run: Run, mode: EscalationMode, tree: readonly string[], named: readonly string[]): Place[] {
  const inTree = new Set(tree)
  const heads = mode === 'plan' ? [...pathsIn(run.input.request.prompt), ...telling].filter((path) => inTree.has(path)) : named.flatMap((path) => inFolder(path) ?? [])
  const failing = failingOutput(run.history.events)
  const places: Place[] = [...heads.map((path) => ({ path, line: null })), ...(failing === null ? [] : placesIn(failing.output))]
  // A check says best what it wants where no line is named.
  const scripts = places.length > 0 || failing === null ? [] : pathsIn(failing.of).map((path) => ({ path, line: null }))
  return [...places, ...scripts].filter((place, index, all) => all.findIndex(({ path, line }) => path === place.path && line === place.line) === index).slice(0, filesAtMost)
}
