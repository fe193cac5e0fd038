// Owns what the handlers may use and the shape of a route. A route is one row: who may call it, what it does, and the function.
import type { Config, DoctorReport, Paths, Principal, scopes, SandboxReport } from '@hearth/protocol'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Context } from 'hono'
import type { Keys } from '../auth/keys.ts'
import type { ChatsOutside } from '../egress/chats-outside.ts'
import type { Packets } from '../egress/packets.ts'
import type { Trials } from '../egress/trial.ts'
import type { LoginDesk } from '../mcp/desk.ts'
import type { FolderServerStore } from '../mcp/folder-servers.ts'
import type { Parts } from '../parts.ts'
import type { Feed } from '../queue/feed.ts'
import type { EnergyMeter } from '../meter/energy.ts'
import type { Projects } from '../projects.ts'
import type { Intake } from '../queue/intake.ts'
import type { Runner } from '../queue/runner.ts'
import type { Store } from '../store/store.ts'
import type { Workspaces } from '../workspace/workspaces.ts'
import type { LoopbackState } from './loopback.ts'
import type { Chats } from './openai/chats.ts'
import type { Conversations } from './openai/conversations.ts'
import type { Transfers } from './transfers.ts'

export type Scope = (typeof scopes)[number]

export type Api = {
  store: Store
  runner: Runner
  intake: Intake
  feed: Feed
  parts: Parts
  workspaces: Workspaces
  folderServers: FolderServerStore
  projects: Projects
  energy: EnergyMeter
  /** At MCP servers. */
  logins: LoginDesk
  transfers: Transfers
  keys: Keys
  /** What was sent to models outside of the house. */
  packets: Packets
  /** Smallest calls to providers. */
  trials: Trials
  /** Models of clients that are on another machine. */
  outside: ChatsOutside
  chats: Chats
  conversations: Conversations
  /** The loopback listener; `settled` resolves when it is as it was last wanted. */
  listener: { readonly state: LoopbackState; settled(): Promise<void> }
  config: Config
  paths: Paths
  startedAt: number
  idleExitSeconds: number | null
  sandboxReport(): Promise<SandboxReport>
  doctor(): Promise<DoctorReport>
  /** Begins the graceful stop. */
  shutdown(by: string): void
}

export type Env = {
  /** `cut` aborts with a Fault when the key of the request is revoked. */
  Variables: { principal: Principal; cut: AbortSignal }
  /** Node's own two ends; absent when a test asks the app without a socket. */
  Bindings: { incoming?: IncomingMessage; outgoing?: ServerResponse }
}

export type Route = {
  method: 'GET' | 'POST' | 'DELETE'
  path: string
  /** null: anybody who reached the listener. */
  scope: Scope | null
  /** One line for docs/api.md. */
  about: string
  handle(c: Context<Env>, api: Api): Response | Promise<Response>
}

