// Owns the model of a client of the API when it is on another machine of the network: gated as that of a job is, on record before it leaves, metered. Decides no policy itself.
import type { Config, Door, EndpointConfig, Model, Principal } from '@hearth/protocol'
import type { EnergyMeter } from '../meter/energy.ts'
import { metered } from '../meter/meter.ts'
import type { Store } from '../store/store.ts'
import { gated } from './gate.ts'
import { recordedDoor, type Packets } from './packets.ts'
import { Placeholders } from './placeholders.ts'
import type { HeldSecrets } from './scan-held.ts'
import { ofBox } from './terms.ts'

export type ChatsOutsideOptions = {
  config: Config; store: Store; packets: Packets; held: HeldSecrets; energy: EnergyMeter; door: Door
  /** Key of the placeholders; outlives the daemon. */
  placeholderKey(): Promise<Buffer>
  lan(endpoint: EndpointConfig, door: Door): Promise<Model>
  now?: () => number
}

export class ChatsOutside {
  readonly #o: ChatsOutsideOptions

  constructor(options: ChatsOutsideOptions) {
    this.#o = options
  }

  /**
   * The model of this id as this principal may ask it in one conversation; null = it is in the house, and nothing stands between. The client named it, which is the
   * consent to ask it; a secret is replaced or holds the request back by the data class of the box. `conversation`: the same secret has the same placeholder in it.
   */
  async model(principal: Principal, id: string, conversation: string): Promise<Model | null> {
    const { config, packets, held, store, energy, door, lan, placeholderKey, now = Date.now } = this.#o
    const endpoint = config.engine.endpoints.find((one) => one.id === id && !one.local)
    if (endpoint === undefined) return null
    const host = new URL(endpoint.url).host
    return gated({
      info: { id, place: 'lan', contextTokens: endpoint.contextTokens, profile: endpoint.profile }, host, approved: null, held: () => held.texts(),
      placeholders: new Placeholders(await placeholderKey(), `${principal.id}/${conversation}`), putsBack: staysWithClient, may: () => ofBox(config, store, principal, now()),
      inner: async (redactions) => metered(await lan(endpoint, recordedDoor(door, {
        packets, held: await held.texts(), jobId: null, escalation: null, principal: principal.id, purpose: 'chat', model: id, redactions: [...redactions],
      })), { principal, jobId: null, step: () => null, energy }, (entry) => store.ledger(entry)),
    })
  }
}

// What programs call the tools that work on the files of their own folder, in letters alone.
const onFiles: ReadonlySet<string> = new Set([
  'read', 'readfile', 'view', 'ls', 'listfiles', 'glob', 'grep', 'searchfiles', 'write', 'writefile', 'writetofile', 'createfile', 'createnewfile', 'edit', 'editfile', 'editexistingfile', 'multiedit', 'notebookedit',
  'insert', 'insertcontent', 'replaceinfile', 'searchandreplace', 'strreplace', 'strreplaceeditor', 'strreplacebasededittool', 'applypatch', 'applydiff', 'patch', 'todowrite',
])

/** Whether a client's tool of this name keeps its arguments in the client's folder. Commands, addresses and what we do not know may carry them away. */
function staysWithClient(tool: string): boolean {
  return onFiles.has(tool.toLowerCase().replace(/[^a-z]/g, ''))
}
