import { resolve } from 'node:path'
import { InvalidArgumentError, type Command } from 'commander'
import { KmeError } from '../../kernel/errors.js'
import { seconds } from '../arguments.js'
import { outputOf, type CliContext } from '../context.js'
import { visit } from '../doctor/doctor.js'
import type { SaeAccess } from '../doctor/report.js'
import { exitCodes } from '../exit-codes.js'
import { table } from '../output.js'

interface DoctorOptions {
  readonly url: URL, readonly cert: string, readonly key: string, readonly ca: string, readonly kme?: string, readonly slave?: string
  readonly exchange?: boolean, readonly slaveUrl?: URL, readonly slaveCert?: string, readonly slaveKey?: string, readonly slaveCa?: string, readonly timeout: number
}

const httpsUrl = (text: string): URL => {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'https:' || url.username !== '' || (url.pathname !== '/' && url.pathname !== '')) throw new InvalidArgumentError('must be https://host:port without path.')
  return url
}

export const registerDoctor = (program: Command, context: CliContext): void => {
  program.command('doctor').description('Connect as an SAE and say in words what works and what does not.')
    .requiredOption('--url <https://host:port>', 'REST address of the KME', httpsUrl)
    .requiredOption('--cert <file>', 'certificate of the SAE')
    .requiredOption('--key <file>', 'its private key')
    .requiredOption('--ca <file>', 'CA of the KME\'s certificate')
    .option('--kme <id>', 'KME ID that must answer there')
    .option('--slave <id>', 'SAE ID of the other side: checks the pair and its stock')
    .option('--exchange', 'take one key, fetch it as the slave, and compare (uses the key up)')
    .option('--slave-url <https://host:port>', 'the slave\'s KME, for --exchange', httpsUrl)
    .option('--slave-cert <file>', 'certificate of the slave')
    .option('--slave-key <file>', 'its private key')
    .option('--slave-ca <file>', 'CA of the slave\'s KME (default: --ca)')
    .option('--timeout <s>', 'seconds to wait for each answer', seconds, 5)
    .addHelpText('after', '\nExamples:\n  qkme doctor --url https://kme-a:8443 --cert sae-1.crt --key sae-1.key --ca kme-ca.crt\n  qkme doctor … --slave sae-2 --exchange --slave-url https://kme-b:8443 --slave-cert sae-2.crt --slave-key sae-2.key\n\nExit code 1 if something fails.\n')
    .action(async (options: DoctorOptions, command: Command) => {
      const out = outputOf(context, command)
      const steps = await visit({ master: accessOf(context, options), slave: options.slave, slaveAccess: slaveOf(context, options) }, () => context.clock.wallMs())
      const isWell = !steps.some((step) => step.result === 'failed')
      out.data({ ok: isWell, steps })
      out.line(table(['STEP', '', 'FOUND'], steps.flatMap((step) => [[step.name, step.result, step.message], ...step.advice === undefined ? [] : [['', '', `-> ${step.advice}`]]])))
      if (!isWell) context.exit.code = exitCodes.failed.code
    })
}

const accessOf = (context: CliContext, options: DoctorOptions): SaeAccess => ({
  url: options.url, kme: options.kme, timeoutMs: options.timeout * 1_000,
  certificateFile: resolve(context.workingFolder, options.cert), keyFile: resolve(context.workingFolder, options.key), caFile: resolve(context.workingFolder, options.ca),
})

const slaveOf = (context: CliContext, options: DoctorOptions): SaeAccess | undefined => {
  if (options.exchange !== true) return undefined
  const { slave, slaveUrl, slaveCert, slaveKey } = options
  if (slave === undefined || slaveUrl === undefined || slaveCert === undefined || slaveKey === undefined) {
    throw new KmeError('BAD_REQUEST', '--exchange also needs --slave, --slave-url, --slave-cert and --slave-key: the doctor then acts as both SAEs')
  }
  return {
    url: slaveUrl, kme: undefined, timeoutMs: options.timeout * 1_000, certificateFile: resolve(context.workingFolder, slaveCert),
    keyFile: resolve(context.workingFolder, slaveKey), caFile: resolve(context.workingFolder, options.slaveCa ?? options.ca),
  }
}
