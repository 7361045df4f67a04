import { resolve } from 'node:path'
import { Argument, Option, type Command } from 'commander'
import { inspectCertificate } from '../../crypto/inspect.js'
import { readCertificates } from '../../crypto/pem.js'
import { createPki, issueCertificate, profiles, type PkiContext, type Profile } from '../../crypto/pki.js'
import { revokeCertificate, writeCrl } from '../../crypto/pki-crl.js'
import { caNames, curves, revocationReasons, type CaName, type Curve, type RevocationReason } from '../../crypto/pki-files.js'
import { KmeError } from '../../kernel/errors.js'
import { outputOf, type CliContext } from '../context.js'
import { table } from '../output.js'
import { days } from '../arguments.js'

const folderOption = (): Option => new Option('--folder <path>', 'folder of the PKI').default('pki')

export const registerPki = (program: Command, context: CliContext): void => {
  const pki = program.command('pki').description('A small PKI for development and closed sites: three CAs (SAE, KME, operator) with CRLs.')
  const pkiOf = (folder: string): PkiContext => ({ folder: resolve(context.workingFolder, folder), clock: context.clock, random: context.random })
  registerInit(pki, context, pkiOf)
  registerIssue(pki, context, pkiOf)
  registerRevoke(pki, context, pkiOf)
  pki.command('inspect').description('Describe the certificates in a PEM file.')
    .argument('<file>', 'PEM file')
    .action((file: string, _options: object, command: Command) => {
      const out = outputOf(context, command)
      const found = readCertificates(resolve(context.workingFolder, file)).map(inspectCertificate)
      out.data(found)
      out.line(found.map((info) => table(['CERTIFICATE', info.subject], Object.entries(info).filter(([name]) => name !== 'subject')
        .map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') || '-' : String(value)]))).join('\n\n'))
    })
}

const registerInit = (pki: Command, context: CliContext, pkiOf: (folder: string) => PkiContext): void => {
  pki.command('init').description('Make the three CAs with empty CRLs. What exists is left alone.')
    .addOption(folderOption())
    .option('--days <n>', 'life of CAs and CRLs', days, 3650)
    .addOption(new Option('--curve <name>', 'elliptic curve of the keys').choices(curves).default('P-256'))
    .option('--organization <name>', 'O of the CAs\' names', 'qkme')
    .addHelpText('after', '\nExample:\n  qkme pki init --folder pki\n\nThe CA keys in the folder (mode 0600) make every certificate: keep them off the KMEs.\n')
    .action(async (options: { folder: string, days: number, curve: Curve, organization: string }, command: Command) => {
      const out = outputOf(context, command)
      const made = await createPki(pkiOf(options.folder), options)
      out.data({ folder: resolve(context.workingFolder, options.folder), made })
      out.line(made.length === 0 ? `the CAs in ${options.folder} exist already` : `made in ${options.folder}: ${made.map((ca) => `${ca}-ca`).join(', ')}`)
    })
}

const registerIssue = (pki: Command, context: CliContext, pkiOf: (folder: string) => PkiContext): void => {
  pki.command('issue').description('Issue a certificate and its key.')
    .addOption(folderOption())
    .addOption(new Option('--profile <name>', 'what it is for').choices(Object.keys(profiles)).makeOptionMandatory())
    .requiredOption('--id <id>', 'SAE ID, KME ID or operator\'s name')
    .option('--host <name...>', 'DNS name or IP address of a server (default: localhost, 127.0.0.1, ::1)')
    .option('--days <n>', 'life of the certificate', days, 365)
    .option('--renew', 'a new certificate for the key that exists')
    .addHelpText('after', '\nExamples:\n  qkme pki issue --profile sae --id sae-1\n  qkme pki issue --profile kme-server --id kme-a --host kme-a.example --host 10.0.0.1\n  qkme pki issue --profile sae --id sae-1 --renew\n')
    .action(async (options: { folder: string, profile: Profile, id: string, host?: string[], days: number, renew?: boolean }, command: Command) => {
      const out = outputOf(context, command)
      const issued = await issueCertificate(pkiOf(options.folder), { ...options, ...options.host === undefined ? {} : { hosts: options.host } })
      out.data(issued)
      out.line(table(['ISSUED', `${options.profile} ${options.id}`], [
        ['certificate', issued.certificate], ['key', issued.key], ['serial', issued.serialHex], ['fingerprint', issued.fingerprint],
        ['notAfter', new Date(issued.notAfterMs).toISOString()],
      ]))
    })
}

const registerRevoke = (pki: Command, context: CliContext, pkiOf: (folder: string) => PkiContext): void => {
  const crlDays = (): Option => new Option('--crl-days <n>', 'how long the new CRL holds').argParser(days).default(3650)
  pki.command('revoke').description('Revoke a certificate and write the CA\'s CRL anew. Running KMEs take it up within reloadMs.')
    .addOption(folderOption())
    .addOption(new Option('--ca <name>', 'CA that issued it').choices(caNames).default('sae'))
    .option('--serial <hex>', 'serial number (pki inspect)')
    .option('--certificate <file>', 'or the certificate itself')
    .addOption(new Option('--reason <reason>', 'reason in the CRL').choices(revocationReasons).default('unspecified'))
    .addOption(crlDays())
    .addHelpText('after', '\nExample:\n  qkme pki revoke --certificate pki/sae/sae-1/client.crt --reason keyCompromise\n')
    .action(async (options: { folder: string, ca: CaName, serial?: string, certificate?: string, reason: RevocationReason, crlDays: number }, command: Command) => {
      const out = outputOf(context, command), folder = pkiOf(options.folder)
      const serial = options.serial ?? (options.certificate === undefined ? undefined : readCertificates(resolve(context.workingFolder, options.certificate))[0]?.node.serialNumber)
      if (serial === undefined || !/^[0-9a-fA-F]+$/.test(serial)) throw new KmeError('BAD_REQUEST', 'name the certificate by --serial (hex) or --certificate')
      await revokeCertificate(folder, options.ca, serial, options.reason, options.crlDays)
      out.data({ ca: options.ca, revoked: serial.toUpperCase() })
      out.line(`revoked: ${serial.toUpperCase()}, in ${options.ca}-ca.crl`)
    })
  pki.command('renew-crl').description('Write a CA\'s CRL anew before it expires.')
    .addOption(folderOption())
    .addArgument(new Argument('<ca>', 'CA').choices(caNames))
    .addOption(crlDays())
    .action(async (ca: CaName, options: { folder: string, crlDays: number }, command: Command) => {
      const out = outputOf(context, command)
      const nextUpdate = new Date(await writeCrl(pkiOf(options.folder), ca, options.crlDays)).toISOString()
      out.data({ ca, nextUpdate })
      out.line(`${ca}-ca.crl holds until ${nextUpdate}`)
    })
}
