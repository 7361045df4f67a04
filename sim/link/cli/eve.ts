import type { Command } from 'commander'
import { KmeError } from '../../../src/kernel/errors.js'
import { tellDevice } from '../../device/control-client.js'
import { print } from './output.js'
import type { Say } from './output.js'
import { attackOption } from './parse.js'

/** `sim eve`: turns Eve on or off at a running device. */
export const addEveCommand = (program: Command, say: Say = print): void => {
  program.command('eve')
    .argument('<attack>', 'intercept-resend[:SHARE], photon-number-splitting[:SHARE], beam-splitting[:SHARE], blinding, or none')
    .description('lets Eve attack the simulated link of a running device (npm start -- --physics ...), or leave it')
    .option('--control <socket>', 'control socket of the device', '.qkme/device.sock')
    .action(async (text: string, { control }: { control: string }) => {
      if (text.includes('@')) throw new KmeError('BAD_REQUEST', 'a running device is attacked now: leave out @FROM-TO')
      const eve = text === 'none' ? undefined : attackOption(text).eve
      const share = eve === undefined || eve.kind === 'blinding' ? {} : { share: eve.kind === 'photon-number-splitting' ? eve.blocked : eve.share }
      await tellDevice(control, { cmd: 'eve', attack: eve?.kind ?? 'none', ...share })
      say(eve === undefined ? 'Eve has left' : `Eve: ${text}`)
    })
}
