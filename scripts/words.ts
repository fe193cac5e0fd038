// Owns how a script reads its words. One that it does not take is a sentence and exit 2; --help is answered by the sh file before it.
import { parseArgs, type ParseArgsConfig } from 'node:util'

/** `script`: its name below scripts/. Wrong words end the process. */
export function wordsOf<T extends ParseArgsConfig>(script: string, config: T): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config)
  } catch (error) {
    // Node's sentences; the advice that follows the first one is about quoting.
    return wrongWords(script, error instanceof Error ? error.message.split('. ')[0] ?? '' : String(error))
  }
}

export function wrongWords(script: string, problem: string): never {
  console.error(`${script}: ${problem}; scripts/${script} --help says more`)
  process.exit(2)
}
