// Owns the worked examples for the starter model: a few kinds of small file jobs, several of each with other names.
// Measured, not guessed: see docs/log.md for what was tried and what each kind solves.
import type { Episode } from '../modes/json.ts'

const fix = (name: string, text: string): Episode => ({
  task: 'Make check.sh pass.',
  turns: [
    { call: { tool: 'bash', command: 'sh check.sh' }, result: `${name} is missing. It must say: ${text}\n(exit 1)` },
    { call: { tool: 'write', path: name, content: text }, result: `wrote ${name}` },
    { call: { tool: 'bash', command: 'sh check.sh' }, result: 'ok\n' },
    { call: { tool: 'finish', answer: 'ok' }, result: null },
  ],
})

const mend = (name: string, wrong: string, text: string): Episode => ({
  task: 'Make check.sh pass.',
  turns: [
    { call: { tool: 'bash', command: 'sh check.sh' }, result: `${name} is missing. It must say: ${text}\n(exit 1)` },
    { call: { tool: 'write', path: name, content: wrong }, result: `wrote ${name}` },
    { call: { tool: 'bash', command: 'sh check.sh' }, result: `${name} is wrong. It must say: ${text}\n(exit 1)` },
    { call: { tool: 'write', path: name, content: text }, result: `wrote ${name}` },
    { call: { tool: 'bash', command: 'sh check.sh' }, result: 'ok\n' },
    { call: { tool: 'finish', answer: 'ok' }, result: null },
  ],
})

const todo = (name: string, text: string): Episode => ({
  task: 'Do what todo.txt says.',
  turns: [
    { call: { tool: 'read', path: 'todo.txt' }, result: `Create the file ${name} with the text: ${text}\n` },
    { call: { tool: 'write', path: name, content: text }, result: `wrote ${name}` },
    { call: { tool: 'finish', answer: `wrote ${name}` }, result: null },
  ],
})

const create = (name: string, text: string): Episode => ({
  task: `Create the file ${name} with the text: ${text}`,
  turns: [
    { call: { tool: 'write', path: name, content: text }, result: `wrote ${name}` },
    { call: { tool: 'finish', answer: `wrote ${name}` }, result: null },
  ],
})

const copy = (from: string, to: string): Episode => ({
  task: `copy ${from} to ${to}`,
  turns: [
    { call: { tool: 'bash', command: `cp ${from} ${to}` }, result: '' },
    { call: { tool: 'finish', answer: `copied ${from} to ${to}` }, result: null },
  ],
})

const answer = (name: string, code: string): Episode => ({
  task: `What is the code in ${name}?`,
  turns: [
    { call: { tool: 'read', path: name }, result: `${code}\n` },
    { call: { tool: 'finish', answer: code }, result: null },
  ],
})

export const starter: readonly Episode[] = [
  mend('letter.txt', 'We come in spring', 'We will come in spring'),
  mend('notes.txt', 'Birds sing', 'Birds sing in the morning'),
  fix('hello.txt', 'Good morning to you'),
  fix('ticket.txt', 'Seat twelve by the aisle'),
  todo('letter.txt', 'We will come in spring'),
  todo('hello.txt', 'Good morning to you'),
  todo('ticket.txt', 'Seat twelve by the aisle'),
  todo('notes.txt', 'Birds sing in the morning'),
  create('letter.txt', 'We will come in spring'),
  create('hello.txt', 'Good morning to you'),
  create('ticket.txt', 'Seat twelve by the aisle'),
  create('notes.txt', 'Birds sing in the morning'),
  copy('letter.txt', 'post.txt'),
  copy('x.txt', 'y.txt'),
  copy('ticket.txt', 'seat.txt'),
  copy('old.txt', 'new.txt'),
  answer('letter.txt', '4417'),
  answer('hello.txt', 'blue-8'),
  answer('ticket.txt', '90210'),
  answer('notes.txt', 'A77'),
]
