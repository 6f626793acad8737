# bash completion for rekindle

# What a daemon knows; a key press does not wait long for one that is not there.
_rekindle_ask() {
	timeout 1 rekindle "$@" 2>/dev/null
}
# Of `rekindle models VERB ...` the word at `at` behind models: the verb is at 0.
# A word ends at @ for a shell, unless COMP_WORDBREAKS lacks it: versions are
# offered by their numbers.
_rekindle_models() {
	local verb=$1 at=$2 cur=$3
	if ((at == 0)); then
		mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$cur")
		return
	fi
	case $verb:$at in
	list:1 | search:1 | rollback:1 | history:1 | register:1)
		mapfile -t COMPREPLY < <(compgen -W "$(_rekindle_ask models list --all |
		    awk 'NR > 1 {print $1}')" -- "$cur")
		;;
	show:1 | promote:1 | lineage:1 | compare:[12] | card:1 | pull:1 | delete:1)
		mapfile -t COMPREPLY < <(compgen -W "$(_rekindle_ask models search --all |
		    awk 'NR > 1 {print $1}')" -- "$cur")
		;;
	register:2)
		mapfile -t COMPREPLY < <(compgen -W "$(_rekindle_ask list --all |
		    awk 'NR > 1 {print $1; print $2}')" -- "$cur")
		;;
	promote:2 | rollback:2 | history:2)
		# NAME, of NAME/N too.
		local name=${COMP_WORDS[COMP_CWORD - 1]%%/*}
		mapfile -t COMPREPLY < <(compgen -W "$(_rekindle_ask models list --all |
		    awk -v m="$name" '$1 == m {gsub("=[0-9]+", "", $4); gsub(",", " ", $4); print $4}')" \
		    -- "$cur")
		;;
	pull:2)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		;;
	esac
}
_rekindle() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local commands="submit predict evaluate plan suggest list show watch start pause resume cancel retry
		checkpoint checkpoints export metrics evaluations plot log events attempts delete adopt drain status weights models help"
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
	local verbs="list show search register promote rollback history lineage compare card pull delete"
	local verb=
	if [ "$cmd" = models ] && ((COMP_CWORD > i + 1)); then
		verb=${COMP_WORDS[i + 1]}
	fi
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
	--format)
		mapfile -t COMPREPLY < <(compgen -W "safetensors paddle pytorch" -- "$cur")
		return
		;;
	--job)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--alias | --author | --notes | --note | --if-better | --metric | --sort)
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
		# shellcheck disable=SC2086
		mapfile -t COMPREPLY < <(compgen -W "--help --json --server $(rekindle \
		    "$cmd" $verb --help 2>/dev/null | head -n 1 | grep -oE -- '--[a-z][a-z-]+')" -- "$cur")
		return
	fi
	case $cmd in
	predict | evaluate)
		# A version, or a file of weights; then data.
		((COMP_CWORD == i + 1)) && _rekindle_models show 1 "$cur"
		((${#COMPREPLY[@]} > 0)) && return
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		;;
	submit | plan | suggest)
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
	models)
		_rekindle_models "$verb" $((COMP_CWORD - i - 1)) "$cur"
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
