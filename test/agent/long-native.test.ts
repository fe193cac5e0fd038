// Sixty steps on a real model in native mode. A file of its own: it takes as long as the model reads.
import { it } from 'node:test'
import { sixtySteps } from './long-job.ts'

it('60 steps in native mode read again nothing but the template\'s tail', () => sixtySteps('native'))
