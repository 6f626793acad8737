# bash completion for rekindle

# What a daemon knows; a key press does not wait long for one that is not there.
_rekindle_ask() {
	timeout 1 rekindle "$@" 2>/dev/null
}
_rekindle() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local commands="submit plan list show watch start pause resume cancel retry
		checkpoint checkpoints export metrics evaluations plot log events attempts delete adopt drain status weights help"
	local cmd= i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--server) ((i++)) ;;
		-*) ;;
		*)
			cmd=${COMP_WORDS[i]}
			break
			;;
		esac
	done
	COMPREPLY=()
	case $prev in
	--state)
		mapfile -t COMPREPLY < <(compgen -W "held queued starting running
			paused succeeded failed cancelled" -- "$cur")
		return
		;;
	--split)
		mapfile -t COMPREPLY < <(compgen -W "train validation" -- "$cur")
		return
		;;
	--accept)
		mapfile -t COMPREPLY < <(compgen -W data -- "$cur")
		return
		;;
	--from)
		# The selectors, and the checkpoints of the job on the line.
		local job=${COMP_WORDS[i + 1]:-}
		mapfile -t COMPREPLY < <(compgen -W "latest best none $(_rekindle_ask \
		    checkpoints "$job" |
		    awk 'NR > 1 {print $1; if ($2 != "-") {gsub(",", " ", $2); print $2}}')" \
		    -- "$cur")
		return
		;;
	--server | --name | --label | --limit | --tail | --in | --patience | --set | --member | --part)
		return
		;;
	esac
	if [ -z "$cmd" ]; then
		mapfile -t COMPREPLY < <(compgen -W "$commands --server --help --version" -- "$cur")
		return
	fi
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "--help --json --server $(rekindle \
		    "$cmd" --help 2>/dev/null | head -n 1 | grep -oE -- '--[a-z][a-z-]+')" -- "$cur")
		return
	fi
	case $cmd in
	submit | plan)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		;;
	weights)
		if ((COMP_CWORD == i + 1)); then
			mapfile -t COMPREPLY < <(compgen -W "show diff convert" -- "$cur")
			return
		fi
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		;;
	adopt)
		mapfile -t COMPREPLY < <(compgen -W "$(_rekindle_ask status |
		    sed -n '/"unrecorded"/,$s/.*"\(id\|name\)": "\([^"]*\)".*/\2/p')" -- "$cur")
		;;
	list | drain | status | help) ;;
	*)
		mapfile -t COMPREPLY < <(compgen -W "$(_rekindle_ask list --all |
		    awk 'NR > 1 {print $1; print $2}')" -- "$cur")
		;;
	esac
}
complete -F _rekindle rekindle
