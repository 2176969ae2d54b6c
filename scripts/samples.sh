#!/usr/bin/env bash
# Makes the recordings that `earshot demo` ships: speech by espeak-ng, composed as an assistant would
# store it (what was said before, the wake word, the command), in several codings, with the places
# of the words in samples/manifest.tsv. Needs espeak-ng, sox and ffmpeg. Run it again only to change
# the samples; what it made is committed.
set -euo pipefail
out=$(cd "$(dirname "$0")/.." && pwd)/cmd/earshot/samples
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -f "$out"/*.wav "$out"/manifest.tsv
rate=16000

say() { # voice speed pitch text file
	espeak-ng -v "$1" -s "$2" -p "$3" -w "$work/raw.wav" -- "$4"
	sox "$work/raw.wav" -r $rate -c 1 -b 16 "$5" silence 1 0.01 0.2% reverse silence 1 0.01 0.2% reverse
}
samples() { soxi -s "$1"; }

# coding: sox/ffmpeg arguments
encode() { # in out coding
	case $3 in
	pcm16-8k) ffmpeg -loglevel error -y -i "$1" -ar 8000 -c:a pcm_s16le -bitexact "$2" ;;
	pcm16) ffmpeg -loglevel error -y -i "$1" -c:a pcm_s16le -bitexact "$2" ;;
	pcm24-8k) ffmpeg -loglevel error -y -i "$1" -ar 8000 -c:a pcm_s24le -bitexact "$2" ;;
	pcm8) ffmpeg -loglevel error -y -i "$1" -ar 8000 -c:a pcm_u8 -bitexact "$2" ;;
	float-8k) ffmpeg -loglevel error -y -i "$1" -ar 8000 -c:a pcm_f32le -bitexact "$2" ;;
	mulaw) ffmpeg -loglevel error -y -i "$1" -ar 8000 -c:a pcm_mulaw -bitexact "$2" ;;
	alaw) ffmpeg -loglevel error -y -i "$1" -ar 8000 -c:a pcm_alaw -bitexact "$2" ;;
	ima) ffmpeg -loglevel error -y -i "$1" -c:a adpcm_ima_wav -bitexact "$2" ;;
	tagged) ffmpeg -loglevel error -y -i "$1" -ar 8000 -c:a pcm_s16le -metadata title="$4" -metadata comment="recorded in the kitchen" "$2" ;;
	esac
}

voices=(en-gb en-us de fr es it nl pl en-gb+f2 en-us+f4 de+f3 fr+f1 es+f2 en-gb+m5 sv pt)
befores=("I told you not to say that" "mum is at the doctor" "the code is four seven one one" "das sagen wir niemandem" "on en parle demain" "no se lo digas a nadie" "she left him on Friday" "my card number is")
commands=("play some music" "what is the weather" "set a timer for ten minutes" "mach das Licht an" "quelle heure est il" "pon una alarma" "call grandma" "turn on the lights")
codings=(pcm16-8k mulaw alaw ima pcm8 mulaw ima pcm16-8k tagged mulaw alaw ima pcm24-8k mulaw ima float-8k pcm16)

n=${1:-64}
for i in $(seq 0 $((n - 1))); do
	voice=${voices[$((i % ${#voices[@]}))]}
	coding=${codings[$((i % ${#codings[@]}))]}
	pitch=$((35 + (i * 13) % 60))
	speed=$((165 + (i * 7) % 50))
	before=${befores[$(((i / 2) % ${#befores[@]}))]}
	command=${commands[$(((i / 3) % ${#commands[@]}))]}
	say "$voice" $speed $pitch "$before" "$work/before.wav"
	say "$voice" $speed $pitch "computer" "$work/wake.wav"
	say "$voice" $speed $pitch "$command" "$work/command.wav"
	sox -n -r $rate -c 1 -b 16 "$work/gap.wav" trim 0 0.12
	b=$(samples "$work/before.wav") w=$(samples "$work/wake.wav") c=$(samples "$work/command.wav") g=$(samples "$work/gap.wav")
	if [ $((i % 5)) = 4 ]; then # nothing was said before
		sox -n -r $rate -c 1 -b 16 "$work/before.wav" trim 0 0.25
		b=$(samples "$work/before.wav") before=-
	fi
	sox "$work/before.wav" "$work/gap.wav" "$work/wake.wav" "$work/gap.wav" "$work/command.wav" "$work/all.wav"
	name=$(printf 'clip-%02d.wav' "$i")
	encode "$work/all.wav" "$out/$name" "$coding" "$before"
	# file, coding, language, samples at 16 kHz: before end, wake start, wake end, command start, command end; texts
	printf '%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\n' "$name" "$coding" "${voice%%+*}" "$b" "$((b + g))" "$((b + g + w))" \
		"$((b + g + w + g))" "$((b + g + w + g + c))" "$before" "$command" >>"$out/manifest.tsv"
done
du -sb "$out"
