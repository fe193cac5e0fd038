// Owns the pipes of a run's output and the file of its input. Reads nothing from them.
// Node gives a child socket pairs, and opening /dev/stdout or /dev/stderr on a socket fails (ENXIO): scripts do that. So these are real pipes.
import { execFile } from 'node:child_process'
import { closeSync, constants, mkdirSync, openSync, readFileSync, readdirSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { makerIsDead, ownName } from './processes.ts'

const execFileAsync = promisify(execFile)

export type Pipe = { reader: Socket; writeFd: number; giveBack(): void }
/** A pipe whose writing end is ours; close `readFd` as soon as the child has it. */
export type Feed = { readFd: number; writer: Socket; giveBack(): void }

export type Pipes = {
  /** A pipe whose reading end is ours; close `writeFd` as soon as the child has it. */
  take(): Promise<Pipe>
  feed(): Promise<Feed>
  /** A file descriptor to read `content` from; the file has no name any more. */
  input(content: string | Uint8Array): number
  close(): void
}

/** Named pipes in a folder only we can enter, used again by later runs: making one costs a process. */
export function makePipes(parent: string): Pipes {
  mkdirSync(parent, { recursive: true, mode: 0o700 })
  for (const name of readdirSync(parent)) if (makerIsDead(name)) rmSync(join(parent, name), { recursive: true, force: true })
  const folder = join(parent, ownName())
  mkdirSync(folder, { mode: 0o700 })
  const idle: string[] = []
  let made = 0
  const make = async (): Promise<string> => {
    const path = join(folder, String(made++))
    // Writable by all, since the run may belong to another user who opens it again by /dev/stdout; the folder keeps others out.
    await execFileAsync('/usr/bin/mkfifo', ['-m', '622', path], { env: {} })
    return path
  }
  return {
    async take() {
      const path = idle.pop() ?? (await make())
      const readFd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
      const writeFd = openSync(path, constants.O_WRONLY)
      return { reader: new Socket({ fd: readFd, readable: true, writable: false }), writeFd, giveBack: () => void idle.push(path) }
    },
    async feed() {
      const path = idle.pop() ?? (await make())
      // A pipe without a writer would block its reader's opening, and one without a reader refuses its writer.
      const both = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
      try {
        const readFd = openSync(path, constants.O_RDONLY)
        const writeFd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
        return { readFd, writer: new Socket({ fd: writeFd, readable: false, writable: true }), giveBack: () => void idle.push(path) }
      } finally {
        closeSync(both)
      }
    },
    input(content) {
      const path = join(folder, `in-${made++}`)
      writeFileSync(path, content, { mode: 0o444, flag: 'wx' })
      try {
        return openSync(path, constants.O_RDONLY)
      } finally {
        unlinkSync(path)
      }
    },
    close: () => rmSync(folder, { recursive: true, force: true }),
  }
}

/**
 * Descriptors from 4 on that this process got without close-on-exec from whoever started it, and which every child would
 * get too. Node opens its own with close-on-exec.
 */
export function inheritedFds(): number[] {
  const found: number[] = []
  for (const name of readdirSync('/proc/self/fdinfo')) {
    if (Number(name) < 4) continue
    try {
      const flags = /^flags:\s+([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${name}`, 'latin1'))?.[1]
      if (flags !== undefined && (Number.parseInt(flags, 8) & 0o2000000) === 0) found.push(Number(name))
    } catch {
      // The descriptor of the listing itself.
    }
  }
  return found
}

export function closeQuietly(fd: number): void {
  try {
    closeSync(fd)
  } catch {
    // Already closed.
  }
}
