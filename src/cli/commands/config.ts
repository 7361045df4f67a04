import { writeFileSync } from 'node:fs'
import type { Command } from 'commander'
import { readConfig, type ConfigResult } from '../../config/load.js'
import { configOrigins, printConfig } from '../../config/print.js'
import { configReference } from '../../config/reference.js'
import type { Config } from '../../config/schema.js'
import { checkTls, type TlsCheckInput, type TlsFinding } from '../../crypto/tls-check.js'
import { configFileOf, outputOf, withConfigOption, type CliContext } from '../context.js'
import { exitCodes } from '../exit-codes.js'
import { table } from '../output.js'

export const registerConfig = (program: Command, context: CliContext): void => {
  const config = program.command('config').description('Check, show and document the configuration.')
  const read = (options: { config?: string }, checkFiles: boolean): ConfigResult => {
    const file = configFileOf(context, options)
    return readConfig({ ...file === undefined ? {} : { file }, variables: context.variables, workingFolder: context.workingFolder, checkFiles })
  }

  withConfigOption(config.command('check'))
    .description('Check every setting, file and certificate; tell all faults at once.')
    .option('--no-files', 'do not look at the files that it names')
    .addHelpText('after', '\nExamples:\n  qkme config check --config kme-a.yaml\n  qkme config check -c kme-a.yaml --json | jq .faults\n')
    .action(async (options: { config?: string, files: boolean }, command: Command) => {
      const out = outputOf(context, command), result = read(options, options.files)
      if (!result.ok) {
        out.data({ ok: false, faults: result.faults })
        out.line(table(['PLACE', 'FAULT'], result.faults.map((fault) => [fault.place, `${fault.setting} ${fault.message}`.trim()])))
        context.exit.code = exitCodes.config.code
        return
      }
      const findings = options.files ? await checkCertificates(result.config, context.clock.wallMs()) : []
      const ok = !findings.some((finding) => finding.level === 'error')
      out.data({ ok, faults: [], findings })
      if (findings.length > 0) out.line(table(['', 'CERTIFICATES'], findings.map((finding) => [finding.level, finding.message])))
      out.line(ok ? `configuration of ${result.config.kme.id} is good` : 'the settings are good, the certificates are not')
      if (!ok) context.exit.code = exitCodes.certificate.code
    })

  withConfigOption(config.command('print'))
    .description('Show what holds, with where each setting comes from. Secrets are never shown, only their files.')
    .action((options: { config?: string }, command: Command) => {
      const out = outputOf(context, command), result = read(options, false)
      if (!result.ok) {
        out.data({ ok: false, faults: result.faults })
        out.line(table(['PLACE', 'FAULT'], result.faults.map((fault) => [fault.place, `${fault.setting} ${fault.message}`.trim()])))
        context.exit.code = exitCodes.config.code
        return
      }
      out.data({ config: result.config, origins: configOrigins(result.config, result.origin) })
      out.line(printConfig(result.config, result.origin).trimEnd())
    })

  config.command('docs')
    .description('Print the reference of all settings (Markdown), as in docs/configuration.md.')
    .option('--write <file>', 'write it to a file instead')
    .action((options: { write?: string }, command: Command) => {
      const out = outputOf(context, command)
      if (options.write !== undefined) writeFileSync(options.write, configReference())
      out.data(options.write === undefined ? { markdown: configReference() } : { written: options.write })
      out.line(options.write === undefined ? configReference().trimEnd() : `written: ${options.write}`)
    })
}

/** What the TLS files of each door say. */
export const checkCertificates = async (config: Config, nowMs: number): Promise<TlsFinding[]> => {
  const { rest, peering, admin } = config
  const door = (what: string, tls: Config['rest']['tls'] | NonNullable<Config['peering']['tls']>, usages: TlsCheckInput['usages'], hosts: readonly string[]): TlsCheckInput => ({
    what, certificateFile: tls.certificate, keyFile: tls.key, caFile: tls.ca, crlFiles: tls.crlFiles, crlRequired: tls.crlRequired,
    usages, hosts, warnDays: tls.expiryWarnDays, nowMs,
  })
  const doors = [
    door('rest', rest.tls, ['serverAuth'], [rest.host, ...rest.publicHosts]),
    ...peering.tls === undefined ? [] : [door('peering', peering.tls, ['serverAuth', 'clientAuth'], [])],
    ...admin.https === undefined ? [] : [door('admin.https', admin.https.tls, ['serverAuth'], [admin.https.host])],
  ]
  return (await Promise.all(doors.map(checkTls))).flat()
}
