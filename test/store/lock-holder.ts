/** Started by lock.test.ts: takes the lock of a folder, says how that went, and waits to be killed. */
import { systemRandom } from '../../src/kernel/system-random.js'
import { lockStore } from '../../src/store/lock.js'

const said = await lockStore(process.argv[2] as string, systemRandom).then(() => 'locked', (error: { code: string }) => error.code)
process.stdout.write(said)
process.stdin.resume()
setInterval(() => undefined, 1000)
