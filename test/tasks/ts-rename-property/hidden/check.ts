import assert from 'node:assert/strict'
import { load } from './load.ts'
import { label } from './user.ts'

assert.deepEqual(load('users.json').map(label), ['User name: ada', 'User name: userName'])
console.log('ok')
