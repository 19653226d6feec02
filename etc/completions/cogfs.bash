# SPDX-License-Identifier: Apache-2.0
# bash completion for cogfs, made by `cogfs help --bash-completion`.
_cogfs()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words
	if [ "$COMP_CWORD" -eq 1 ]; then
		COMPREPLY=($(compgen -W 'mount umount stats flush explain fsck import config path key version help --version --help' -- "$cur"))
		return
	fi
	if [ "$prev" = -o ] || [ "$prev" = --options ]; then
		local before=
		case $cur in *,*) before=${cur%,*}, ;; esac
		compopt -o nospace
		COMPREPLY=($(compgen -P "$before" -W 'config= strict over ro allow_other nodev nosuid noexec noatime nodiratime sync dirsync context= fscontext= defcontext= rootcontext= fsname= debug ttl= max_size= min_free= max_dirty= upload_delay= ca_file= endpoint= region= path_style credentials= cache_dir= uid= gid= mode= allow_other= read_only= passthrough= io_uring= list_ttl= negative_ttl= write.mode= write.upload_delay= write.max_dirty= write.drain_deadline= write.conflict= write.on_kill= deadlines.open= deadlines.read= deadlines.lookup= deadlines.list= deadlines.mount= network.retry.tries= network.retry.min= network.retry.max= network.breaker.after= network.breaker.for= network.parallel= network.proxy= network.ca_file= memory.max= cleanup.on_startup= cleanup.interval= integrity.scrub= integrity.rate= integrity.verify= log.level= log.format= defaults.tiers= defaults.ttl= defaults.stale_while_revalidate= defaults.eviction= defaults.max_size= defaults.max_objects= defaults.max_object= defaults.priority= defaults.compression= defaults.write= defaults.storage_class= defaults.admission= defaults.readahead= defaults.mode= defaults.pinned= defaults.sidecar= defaults.foreign= ' -- "${cur##*,}"))
		return
	fi
	case ${COMP_WORDS[1]} in
	mount) words='--foreground --options --config --strict --over --debug --help' ;;
	umount) words='--lazy --timeout --help' ;;
	stats) words='--json --all --tenant --help' ;;
	flush) words='--timeout --json --help' ;;
	explain) words='--json --help' ;;
	fsck) words='--repair --cold --bytes --cache-dir --config --json --help' ;;
	import) words='--into --mount --config --copy --dry-run --json --help' ;;
	config) words='--options --source --origin check show init --help' ;;
	path) words='--format --grammar --embedding --search --strategy --filters --json --help' ;;
	key) words='--grammar --json --help' ;;
	version) words='--short --help' ;;
	help) words='--man --bash-completion mount umount stats flush explain fsck import config path key version help --help' ;;
	esac
	COMPREPLY=($(compgen -W "$words" -- "$cur") $(compgen -f -- "$cur"))
}
complete -o filenames -F _cogfs cogfs
